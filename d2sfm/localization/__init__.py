"""Where photographs were taken: their poses in an existing model."""

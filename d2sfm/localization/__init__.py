"""Where photographs were taken: their poses in a model that is there."""

"""D2 features in databases of other extractors."""

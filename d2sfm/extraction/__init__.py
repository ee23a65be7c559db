"""Features of a folder of photographs into the database; ``extract`` is the driver."""

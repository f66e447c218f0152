"""Public chat formats in our own words, with what the model generates marked."""

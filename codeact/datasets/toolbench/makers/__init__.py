"""Makes the tasks of each domain: its data, and templates that ask for something in them."""

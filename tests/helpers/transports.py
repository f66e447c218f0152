"""Which transport the clients of a test use; the fixture `each_transport` runs it with each."""

CHOSEN = {"transport": "lean"}

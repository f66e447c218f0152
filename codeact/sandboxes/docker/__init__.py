"""The Docker executor: the guest in a container."""

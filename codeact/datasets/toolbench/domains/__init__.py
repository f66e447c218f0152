"""The tools of each domain, one module each, which runs inside the session as it stands.

A domain is a class; its public methods are the tools, their docstrings what the policy reads. It
holds the state of one episode. These modules use the standard library and `base` alone.
"""

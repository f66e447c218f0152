"""Model clients: the policy and the feedback model."""

"""Models behind an HTTP address, whatever their API: limits, retries, replicas, connections."""

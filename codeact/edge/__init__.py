"""All I/O of one episode: models, sandboxes, graders, task families and tools."""

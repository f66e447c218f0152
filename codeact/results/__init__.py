"""The top floor: reads run folders, never writes them."""

"""Text and JSON of what was found and done. Pure: it gives strings, the command prints them."""

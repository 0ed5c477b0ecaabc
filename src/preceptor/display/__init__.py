"""What a person sees on a terminal: progress, tables, and text made safe to print."""

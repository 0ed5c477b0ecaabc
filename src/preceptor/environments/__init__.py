"""Tasks with tools, on which agents are trained and measured."""

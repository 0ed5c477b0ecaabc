"""What people say: raters, queues of rows, who rates which row, and ratings; all of it in `people.sqlite`."""

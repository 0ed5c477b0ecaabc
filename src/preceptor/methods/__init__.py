"""How a policy is aligned: one program for each method, and what runs programs side by side."""

from preceptor.core.extras import require_training

require_training()  # every method trains: a missing package is reported before a folder is made

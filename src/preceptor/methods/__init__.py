"""How a policy is aligned: one program for each method, and programs that run or compare several."""

from preceptor.core.extras import require_training

require_training()  # every method trains, so missing packages are reported before a folder is made

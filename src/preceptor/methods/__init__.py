"""How a policy is aligned: one program for each method, and what runs programs side by side."""

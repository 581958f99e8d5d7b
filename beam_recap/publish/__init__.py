"""Publishing an output directory on the Hugging Face hub."""

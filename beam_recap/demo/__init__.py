"""The embedded demonstration: drawn scenes, and a tiny CLIP, LLaVA and aesthetic head trained on them."""

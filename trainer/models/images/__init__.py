"""Networks of images: those of timm, and frozen teachers made of them."""

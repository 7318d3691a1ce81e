"""What turns PatchGD's latent grid into logits, and which cells spoke for them?"""

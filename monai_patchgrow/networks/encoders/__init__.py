"""What turns a patch of PatchGD's into its latent vector?"""

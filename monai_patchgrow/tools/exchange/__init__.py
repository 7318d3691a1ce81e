"""How does what was trained in nnU-Net become a bundle, and a trained bundle a folder that nnU-Net predicts with?"""

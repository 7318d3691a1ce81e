"""How do nnU-Net's networks and weights become a bundle's, and a bundle's weights nnU-Net's?"""

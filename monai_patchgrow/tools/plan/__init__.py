"""How does a folder of labelled images get a plan of nnU-Net, and with it a bundle?"""

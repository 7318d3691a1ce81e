"""Which runs are trained side by side, and how are they compared?"""

"""How do cases become batches?"""

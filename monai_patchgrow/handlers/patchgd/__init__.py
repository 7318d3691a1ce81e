"""Which handlers log and picture what PatchGD does?"""

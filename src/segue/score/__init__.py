"""The product: understand a video, choose its music, mix it, hand over a timeline."""

"""Text-to-music diffusion, tuned by DDPO towards what listeners hear."""

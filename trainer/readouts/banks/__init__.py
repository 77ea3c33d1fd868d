"""Banks of heads on one frozen encoder: attentive and linear probes of many learning rates, trained together."""

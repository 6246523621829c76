"""Clever Campaigns: journeys that are ready made, and fill themselves in from the lake."""

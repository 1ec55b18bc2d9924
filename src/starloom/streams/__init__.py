"""Stellar streams: membership, tracks, mocks."""

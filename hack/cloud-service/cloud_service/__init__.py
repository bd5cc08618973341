"""A cloud service for Spillway: lends machines by the contract in ../openapi.yaml."""

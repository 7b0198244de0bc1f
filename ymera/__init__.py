"""YMERA: one task through several language models, each phase on the model that suits it best."""

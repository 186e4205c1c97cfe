"""Here, so that tests of published networks find what the tests beside them use."""

"""External authentication: issuers of SciTokens, and a provider of logins (OIDC)."""

"""Who else may say who somebody is: issuers of SciTokens, and a provider of logins (OIDC)."""

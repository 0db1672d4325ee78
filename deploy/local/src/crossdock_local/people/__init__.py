"""People sign in at the development issuer: OpenID Connect's authorization code flow with PKCE."""

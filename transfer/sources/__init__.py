"""Which languages to teach a language from: what is known of pairs, and what they are worth."""

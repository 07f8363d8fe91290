"""DAA (TOIS 2024): two critics align a target model's features with its source model's."""

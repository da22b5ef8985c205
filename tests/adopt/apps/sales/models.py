from django.db import models


class Order(models.Model):
    email = models.EmailField()

    def __str__(self) -> str:
        return f"order {self.pk}"

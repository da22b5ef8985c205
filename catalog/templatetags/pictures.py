"""`{{ slug|picture }}`: the URL of a product's drawing."""

from django import template

from catalog.pictures import picture_url

register = template.Library()
register.filter("picture", picture_url)

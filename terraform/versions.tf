terraform {
  required_version = ">= 1.11"

  required_providers {
    bellflower = {
      source  = "bellflower/bellflower"
      version = ">= 0.2.0"
    }
  }
}

terraform {
  required_providers {
    bellflower = { source = "bellflower/bellflower" }
  }
}

resource "bellflower_callback_pipeline" "this" {
  name = "orders"
}

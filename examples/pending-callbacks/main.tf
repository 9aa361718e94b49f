# Who waits for whom: run `terraform apply`, and again whenever you want to know.

terraform {
  required_providers {
    bellflower = {
      source = "bellflower/bellflower"
    }
  }
}

data "bellflower_pending_callbacks" "orders" {
  name = "orders"
}

output "waiting" {
  description = "The callbacks that wait for an answer, the longest wait first."
  value = [
    for callback in data.bellflower_pending_callbacks.orders.callbacks :
    "${callback.name} waits since ${callback.since} for an answer to ${callback.data_key}, ${callback.seconds_left} s are left"
  ]
}

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
    "${callback.name} waits since ${callback.since} for an answer to ${coalesce(callback.data_key, "work without an id")}, ${coalesce(callback.seconds_left, "no number of")} s are left"
  ]
}

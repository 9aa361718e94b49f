terraform {
  required_providers {
    bellflower = {
      source = "bellflower/bellflower"
    }
  }
}

# Region and credentials come from the environment, as for every AWS tool.
provider "bellflower" {}

resource "bellflower_callback_pipeline" "orders" {
  name = "orders"
}

output "state_machine_arn" {
  description = "Start executions of this state machine."
  value       = bellflower_callback_pipeline.orders.state_machine.arn
}

output "bucket" {
  description = "Work appears here in outbound/, answers are awaited in inbound/."
  value       = bellflower_callback_pipeline.orders.bucket.bucket
}

output "topic_arn" {
  description = "Messages of success and failure are published here."
  value       = bellflower_callback_pipeline.orders.topic.arn
}

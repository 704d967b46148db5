"""The schemas of the scheduling API, for Python clients: load a request, or check a response.

They are those of the server, under the names in its OpenAPI document.
"""

from flagsched.web.schemas.schedules import BulkCreateScheduleRequest, BulkScheduleResponse, CreateScheduleRequest

__all__ = ["BulkCreateScheduleRequest", "BulkScheduleResponse", "CreateScheduleRequest"]
